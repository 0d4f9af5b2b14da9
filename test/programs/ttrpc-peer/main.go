// ttrpc-peer is the other side of the interoperability tests: Go's own ttrpc.
//
//	ttrpc-peer server SOCKET         serves until its standard input ends
//	ttrpc-peer client SOCKET NAME    runs one scenario; prints what went wrong, exit code 1
//	ttrpc-peer list                  names the scenarios
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"time"

	"github.com/containerd/ttrpc"
)

const (
	service = "interop.v1.Interop"
	// No scenario may hang.
	limit = 20 * time.Second
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "server":
		return serve(args[1])
	case len(args) == 3 && args[0] == "client":
		return play(args[1], args[2])
	case len(args) == 1 && args[0] == "list":
		names := make([]string, 0, len(scenarios))
		for name := range scenarios {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Println(name)
		}
		return nil
	}
	return fmt.Errorf("usage: ttrpc-peer server SOCKET | client SOCKET NAME | list")
}

func serve(path string) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	server.RegisterService(service, description())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	fmt.Println("ready")
	if err := server.Serve(context.Background(), listener); err != ttrpc.ErrServerClosed {
		return err
	}
	return nil
}

func play(path, name string) error {
	scenario, known := scenarios[name]
	if !known {
		return fmt.Errorf("no scenario %q", name)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return scenario(ctx, peer{client: client, path: path})
}
