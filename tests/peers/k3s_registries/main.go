// Reads a registries.yaml as k3s does, with its own parser, and prints what it found as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/rancher/wharfie/pkg/registries"
)

func main() {
	found, err := registries.GetPrivateRegistries(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found.Registry); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
