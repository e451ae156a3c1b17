# A hostile program, run by ./command: each attempt says whether it got out. Run it without PyLibOS only if you do not need the machine.
attempt() {
    what=$1
    shift
    if ("$@") >/dev/null 2>&1; then echo "ESCAPED: $what"; else echo "contained: $what"; fi
}

attempt 'a secret in the environment' sh -c 'env | grep -q hunter2'
attempt 'password hashes' sh -c 'cat /etc/shadow || cat /etc/../etc//shadow'
attempt 'keys in the home directory' sh -c 'test -n "$(ls -A ~ /root /home/*/.ssh 2>/dev/null | grep -v :)"'
attempt 'a file outside the working directory' sh -c 'ls ../../README.md ../build'
attempt 'the environment of the supervisor' sh -c 'tr "\0" "\n" </proc/$SUPERVISOR/environ | grep .'
attempt "the supervisor's memory" sh -c 'dd if=/proc/$SUPERVISOR/mem of=/dev/null bs=1 count=1 skip=4194304'
attempt 'killing the supervisor' sh -c 'kill -0 $SUPERVISOR'
attempt "the host's root through /proc" sh -c 'ls /proc/self/root/root/.bashrc /proc/1/root/root/.bashrc'
exec python3 hostile.py
