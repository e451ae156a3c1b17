"""ioctl(2) request numbers of terminals, descriptors and pipes, and the terminal structures. Pure data.

Source: Linux include/uapi/asm-generic/{ioctls,termbits,termios}.h, include/uapi/linux/fs.h (6.18).
"""

from __future__ import annotations

import struct
from typing import Final

TCGETS: Final = 0x5401
TCSETS: Final = 0x5402
TCSETSW: Final = 0x5403
TCSETSF: Final = 0x5404
TCGETA: Final = 0x5405
TCSETA: Final = 0x5406
TCSETAW: Final = 0x5407
TCSETAF: Final = 0x5408
TCSBRK: Final = 0x5409
TCXONC: Final = 0x540A
TCFLSH: Final = 0x540B
TIOCEXCL: Final = 0x540C
TIOCNXCL: Final = 0x540D
TIOCSCTTY: Final = 0x540E
TIOCGPGRP: Final = 0x540F
TIOCSPGRP: Final = 0x5410
TIOCOUTQ: Final = 0x5411
TIOCSTI: Final = 0x5412
TIOCGWINSZ: Final = 0x5413
TIOCSWINSZ: Final = 0x5414
FIONREAD: Final = 0x541B
TIOCLINUX: Final = 0x541C
TIOCCONS: Final = 0x541D
TIOCPKT: Final = 0x5420
FIONBIO: Final = 0x5421
TIOCNOTTY: Final = 0x5422
TIOCSETD: Final = 0x5423
TIOCGETD: Final = 0x5424
TCSBRKP: Final = 0x5425
TIOCSBRK: Final = 0x5427
TIOCCBRK: Final = 0x5428
TIOCGSID: Final = 0x5429
TCGETS2: Final = 0x802C_542A
TCSETS2: Final = 0x402C_542B
TCSETSW2: Final = 0x402C_542C
TCSETSF2: Final = 0x402C_542D
TIOCGPTN: Final = 0x8004_5430
TIOCSPTLCK: Final = 0x4004_5431
TIOCGDEV: Final = 0x8004_5432
TIOCSIG: Final = 0x4004_5436
TIOCVHANGUP: Final = 0x5437
TIOCGPKT: Final = 0x8004_5438
TIOCGPTLCK: Final = 0x8004_5439
TIOCGEXCL: Final = 0x8004_5440
TIOCGPTPEER: Final = 0x5441
FIONCLEX: Final = 0x5450
FIOCLEX: Final = 0x5451
FIOASYNC: Final = 0x5452
TIOCGLCKTRMIOS: Final = 0x5456
TIOCSLCKTRMIOS: Final = 0x5457

SIOCATMARK: Final = 0x8905
SIOCGSTAMP: Final = 0x8906
SIOCGSTAMPNS: Final = 0x8907

FIGETBSZ: Final = 2
FICLONE: Final = 0x4004_9409
FS_IOC_GETFLAGS: Final = 0x8008_6601
FS_IOC_SETFLAGS: Final = 0x4008_6602

WINSIZE: Final = struct.Struct("<HHHH")
"""struct winsize, 8 bytes: rows columns xpixel ypixel."""
TERMIOS: Final = struct.Struct("<IIIIB19s")
"""struct termios of the kernel, 36 bytes: iflag oflag cflag lflag | line cc[19]."""
