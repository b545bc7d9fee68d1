package credentials

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxClusterToken bounds a service account's token.
const maxClusterToken = 64 << 10

// cluster is the registry of the cluster that the process runs on, which takes the token of the pod's service account for a
// password. The token is good for the API server as well, so no other registry is ever shown it.
type cluster struct{ registry, file string }

func newCluster(o Options) (cluster, error) {
	if strings.ContainsAny(o.ClusterRegistry, "/ \t\n") {
		return cluster{}, fmt.Errorf("MIRROR_CLUSTER_REGISTRY is %q: give HOST or HOST:PORT", o.ClusterRegistry)
	}
	return cluster{registry: normalizeHost(o.ClusterRegistry), file: o.ClusterTokenFile}, nil
}

func (c cluster) serves(host string) bool { return c.registry != "" && c.registry == host }

// credential reads the token each time: the kubelet puts another one in its place before it runs out.
func (c cluster) credential() (Credential, error) {
	f, err := os.Open(c.file)
	if err != nil {
		return Credential{}, fmt.Errorf("reading the service account's token for MIRROR_CLUSTER_REGISTRY: %w", err)
	}
	defer f.Close()
	token, err := io.ReadAll(io.LimitReader(f, maxClusterToken+1))
	if err != nil {
		return Credential{}, fmt.Errorf("reading the service account's token for MIRROR_CLUSTER_REGISTRY: %w", err)
	}
	token = bytes.TrimSpace(token)
	if len(token) == 0 || len(token) > maxClusterToken {
		return Credential{}, fmt.Errorf("%q, for MIRROR_CLUSTER_REGISTRY, holds no service account's token", c.file)
	}
	// OpenShift's registry looks at the password only.
	return Credential{Username: "serviceaccount", Password: string(token)}, nil
}
