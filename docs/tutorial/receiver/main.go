// Command receiver stands in for a chat or a pager in the tutorial: it prints the text of each
// message that it is sent, as a CloudEvent.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"
)

// maxMessage bounds a message, in bytes.
const maxMessage = 1 << 20

func main() {
	address := flag.String("address", "localhost:5003", "HOST:PORT to listen at")
	flag.Parse()
	server := &http.Server{Addr: *address, Handler: http.HandlerFunc(receive), ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func receive(w http.ResponseWriter, r *http.Request) {
	var event struct {
		Data struct{ Text string }
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMessage)).Decode(&event); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Println(event.Data.Text)
	w.WriteHeader(http.StatusNoContent)
}
