// Reads tarballs with archive/tar, and answers as judge.py does.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

func judge(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	lines := []string{}
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
		switch header.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg:
		default:
			return nil, fmt.Errorf("type %q", header.Typeflag)
		}
		if !header.FileInfo().Mode().IsRegular() {
			return nil, fmt.Errorf("mode %v", header.FileInfo().Mode())
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, reader); err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("%o %x %x", header.Mode&0o7777, hash.Sum(nil), header.Name))
	}
}

func main() {
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		lines, err := judge(input.Text())
		if err != nil {
			fmt.Printf("E %q\n", err.Error())
			continue
		}
		fmt.Printf("N %d\n", len(lines))
		for _, line := range lines {
			fmt.Println(line)
		}
	}
}
