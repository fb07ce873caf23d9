// Reads texts as Kubernetes and k3s read YAML. The argument is a file with a JSON array of texts; the output is a JSON
// array: of each text its value as one document, whether strict reading refuses it (a key given twice), and the
// documents that a reader of streams finds.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

type result struct {
	Value     json.RawMessage   `json:"value,omitempty"`
	Error     string            `json:"error,omitempty"`
	Strict    string            `json:"strict,omitempty"`
	Documents []json.RawMessage `json:"documents"`
}

func main() {
	var texts []string
	file, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(file, &texts)
	}
	results := []result{}
	for _, text := range texts {
		var found result
		var problem error
		if found.Value, problem = yaml.YAMLToJSON([]byte(text)); problem != nil {
			found.Error = problem.Error()
		}
		if _, problem = yaml.YAMLToJSONStrict([]byte(text)); problem != nil {
			found.Strict = problem.Error()
		}
		if found.Documents, problem = read(text); problem != nil && found.Error == "" {
			found.Error = problem.Error()
		}
		results = append(results, found)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(results)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(text string) ([]json.RawMessage, error) {
	documents := []json.RawMessage{}
	reader := utilyaml.NewYAMLReader(bufio.NewReaderSize(strings.NewReader(text), 1<<20))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		found, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, err
		}
		documents = append(documents, found)
	}
}
