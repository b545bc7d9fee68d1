package auth

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkAuthorize authorizes a request with a token that has been fetched already.
func BenchmarkAuthorize(b *testing.B) {
	a := newAuthorizer(b, startService(b, `{"token":"`+strings.Repeat("t", 1000)+`","expires_in":3600}`))
	for i := range maxRepositories {
		a.Announce(b.Context(), Access{Repository: fmt.Sprint("team/image-", i), Push: true}, nil)
	}
	for _, test := range []struct {
		name string
		want Access
	}{
		{"announced", Access{Repository: "team/image-7", Push: true}},
		{"announced, to mount", Access{Repository: "team/image-7", Push: true, MountFrom: "team/image-19"}},
		{"alone", Access{Repository: "team/other", Push: true}},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := a.Authorize(b.Context(), test.want, Authorization{}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
