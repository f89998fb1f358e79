// Peers of Seawall that are written in Go, for its bench.
package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: go-peers guard | proxy URL")
		os.Exit(2)
	}
	switch os.Args[1] {
	case "guard":
		rounds(guard)
	case "proxy":
		if len(os.Args) != 3 {
			fmt.Fprintln(os.Stderr, "usage: go-peers proxy URL")
			os.Exit(2)
		}
		proxy(os.Args[2])
	default:
		fmt.Fprintf(os.Stderr, "no peer %q\n", os.Args[1])
		os.Exit(2)
	}
}

// rounds answers each number on standard input with what `measure` makes of it.
func rounds(measure func(records int) (granted int, nanos int64)) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var records int
		if _, err := fmt.Sscan(lines.Text(), &records); err != nil {
			fmt.Fprintf(os.Stderr, "not a number of records: %q\n", lines.Text())
			os.Exit(2)
		}
		granted, nanos := measure(records)
		fmt.Println(granted, nanos)
	}
}
