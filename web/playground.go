package web

import (
	"encoding/json"
	"io/fs"
	"net/http"
)

// PlaygroundPath is where the playground must be served, and all below it.
const PlaygroundPath = "/playground"

// playgroundPolicy lets the page load from its own origin and nowhere else. The
// editor writes style elements and attributes, and its styles hold fonts and
// images as data; it may start its workers from blobs.
const playgroundPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Account is one that the playground offers to sign in with.
type Account struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	// Role is a word on what the account may do.
	Role string `json:"role"`
	// Tenant is the slug of the account's tenant.
	Tenant string `json:"tenant"`
}

// PlaygroundOptions configures the playground.
type PlaygroundOptions struct {
	// Enabled is false where the schema is not to be explored; the playground then
	// answers 404 and says so.
	Enabled bool
	// Accounts are shown with their passwords to everybody who can open the page:
	// for development only.
	Accounts []Account
}

// Playground serves the page in which people try the API. The page is never
// cached, its assets are for good: their names hold a hash of their content.
func Playground(o PlaygroundOptions) (http.Handler, error) {
	dist, err := fs.Sub(files, "dist/playground")
	if err != nil {
		return nil, err
	}
	return playground(dist, o)
}

// playground serves a built playground.
func playground(dist fs.FS, o PlaygroundOptions) (http.Handler, error) {
	mux := http.NewServeMux()
	if !o.Enabled {
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "The playground is served only where introspection is on: TRADESAGE_INTROSPECTION=scope or open.", http.StatusNotFound)
		})
		return mux, nil
	}
	if o.Accounts == nil {
		o.Accounts = []Account{} // [] and not null
	}
	settings, err := json.Marshal(map[string]any{"accounts": o.Accounts})
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET "+PlaygroundPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		page, err := fs.ReadFile(dist, "index.html")
		if err != nil {
			servePage(w, http.StatusNotFound, "stub/playground.html")
			return
		}
		w.Header().Set("Content-Type", mediaTypes[".html"])
		w.Header().Set("Content-Security-Policy", playgroundPolicy)
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		_, _ = w.Write(page) // the client may be gone
	})
	mux.Handle("GET "+PlaygroundPath+"/{$}", http.RedirectHandler(PlaygroundPath, http.StatusPermanentRedirect))
	mux.HandleFunc("GET "+PlaygroundPath+"/settings.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", mediaTypes[".json"])
		_, _ = w.Write(settings)
	})
	mux.HandleFunc("GET "+PlaygroundPath+"/licences.txt", func(w http.ResponseWriter, _ *http.Request) {
		text, err := fs.ReadFile(dist, "licences.md")
		if err != nil {
			notFound(w)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(text)
	})
	mux.Handle("GET "+PlaygroundPath+"/assets/", http.StripPrefix(PlaygroundPath+"/", assets{dist, playgroundPolicy}))
	return mux, nil
}
