// Package quantity reads numbers of bytes in the notation of Kubernetes, such as 500Mi.
package quantity

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Bytes is a number of bytes. It can be a field that envconfig reads.
type Bytes int64

// most is the largest number that is accepted.
const most = 1 << 50

// Set reads a number of bytes from 1 to 1Pi, or nothing, which is 0.
func (b *Bytes) Set(text string) error {
	if *b = 0; text == "" {
		return nil
	}
	q, err := resource.ParseQuantity(text)
	// In this notation 100m is a tenth of one.
	if err != nil || q.Value() < 1 || q.Value() > most || resource.NewQuantity(q.Value(), q.Format).Cmp(q) != 0 {
		return fmt.Errorf("%.100q is not a number of bytes: write one such as 500Mi or 2Gi", text)
	}
	*b = Bytes(q.Value())
	return nil
}
