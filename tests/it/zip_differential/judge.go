// Reads zips with archive/zip, and answers as judge.py does; with a second argument it writes one of the files that follow.
package main

import (
	"archive/zip"
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func judge(path string) ([]string, error) {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	lines := []string{}
	for _, file := range archive.File {
		hash := sha256.New()
		if !strings.HasSuffix(file.Name, "/") {
			content, err := file.Open()
			if err != nil {
				return nil, err
			}
			if _, err := io.Copy(hash, content); err != nil {
				return nil, err
			}
		}
		lines = append(lines, fmt.Sprintf("0 %x %x", hash.Sum(nil), file.Name))
	}
	return lines, nil
}

// write makes a zip as GoReleaser does: a stream, with sizes behind the data.
func write(path string, files []string) error {
	target, err := os.Create(path)
	if err != nil {
		return err
	}
	archive := zip.NewWriter(target)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		header, err := zip.FileInfoHeader(info)
		if err != nil {
			return err
		}
		header.Name, header.Method = filepath.Base(file), zip.Deflate
		entry, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := entry.Write(content); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return target.Close()
}

func main() {
	if len(os.Args) > 2 {
		if err := write(os.Args[1], os.Args[2:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
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
