// Compresses stdin to stdout as one gzip stream, to compare the compressor models of lib/delta with the real compressors.
//
//	delta_gzip MODE LEVEL WRITE_SIZE
//
// MODE is go (compress/gzip of the toolchain that built the program), klauspost or pgzip. LEVEL is a number, -1 for the
// default. The data reaches the compressor in writes of WRITE_SIZE bytes.
package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strconv"

	klauspost "github.com/klauspost/compress/gzip"
	"github.com/klauspost/pgzip"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "delta_gzip:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("want MODE LEVEL WRITE_SIZE")
	}
	level, err := strconv.Atoi(arguments[1])
	if err != nil {
		return err
	}
	writeSize, err := strconv.Atoi(arguments[2])
	if err != nil || writeSize < 1 {
		return fmt.Errorf("WRITE_SIZE: want a positive number")
	}
	writer, err := openWriter(arguments[0], level)
	if err != nil {
		return err
	}
	buffer := make([]byte, writeSize)
	for {
		n, err := io.ReadFull(os.Stdin, buffer)
		if n > 0 {
			if _, err := writer.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return writer.Close()
		}
		if err != nil {
			return err
		}
	}
}

func openWriter(mode string, level int) (io.WriteCloser, error) {
	switch mode {
	case "go":
		return gzip.NewWriterLevel(os.Stdout, level)
	case "klauspost":
		return klauspost.NewWriterLevel(os.Stdout, level)
	case "pgzip":
		return pgzip.NewWriterLevel(os.Stdout, level)
	}
	return nil, fmt.Errorf("unknown mode %q", mode)
}
