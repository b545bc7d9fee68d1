package foreign

import "imagemirror/internal/strictyaml"

// toolOf returns the tool that a file seems to be of, or nil.
func toolOf(v strictyaml.Value) (tool *Tool) {
	if v.IsList() || !v.IsMapping() {
		return nil
	}
	v.Each(func(key string, v strictyaml.Value) {
		switch {
		case key == "sync" && v.IsList():
			tool = Regsync // whatever else is there
		case tool != nil:
		case key == "images" && v.IsMapping() || key == "auth" && v.IsMapping():
			tool = ImageSyncer
		case v.IsMapping():
			tool = ofRegistry(v)
		case key == "version", key == "creds", key == "defaults":
		default:
			tool = ImageSyncer // a source and its destinations
		}
	})
	return tool
}

// ofRegistry returns the tool by what a file has for a registry, or nil.
func ofRegistry(v strictyaml.Value) (tool *Tool) {
	v.Each(func(key string, _ strictyaml.Value) {
		switch key {
		case "username", "password", "identityToken", "insecure":
			tool = ImageSyncer
		case "images", "images-by-tag-regex", "images-by-semver", "credentials", "tls-verify", "cert-dir":
			tool = Skopeo
		}
	})
	return tool
}
