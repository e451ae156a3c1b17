// An HTTP server for tests/servers/web.py: what the others answer, over net/http, until SIGTERM.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	http.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") })
	http.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		sum := 0
		for i := 0; i <= n; i++ {
			sum += i
		}
		fmt.Fprint(w, sum)
	})
	http.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "data.txt") })
	http.HandleFunc("/echo/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path[6:]) })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "nothing", 404) })
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1]}
	ended := make(chan error, 1)
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		<-signals
		limited, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ended <- server.Shutdown(limited)
	}()
	fmt.Println(server.ListenAndServe())
	fmt.Println("shut down:", <-ended)
}
