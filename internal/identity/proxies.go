package identity

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks of those who may say for whom they ask.
type Proxies []netip.Prefix

// ParseProxies reads addresses and networks in CIDR notation.
func ParseProxies(texts []string) (Proxies, error) {
	var out Proxies
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			ip, ipErr := netip.ParseAddr(text)
			if ipErr != nil {
				return nil, fmt.Errorf("%q is neither an address nor a network as 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		}
		out = append(out, prefix.Masked())
	}
	return out, nil
}

func (p Proxies) trusts(ip netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// maxHops bounds how many proxies are looked at.
const maxHops = 16

// WithClient is the function of this name behind proxies: the client is the last one
// in Forwarded (RFC 7239), or else in X-Forwarded-For, that is no trusted proxy.
// What an untrusted one says is not believed, so a client that writes such a header
// itself gains nothing.
func (p Proxies) WithClient(r *http.Request) *http.Request {
	r = WithClient(r)
	if len(p) == 0 {
		return r
	}
	c := ClientFrom(r.Context())
	ip, err := netip.ParseAddr(c.IP)
	if err != nil || !p.trusts(ip.Unmap()) {
		return r
	}
	hops := forwarded(r.Header)
	for i := len(hops) - 1; i >= 0 && i >= len(hops)-maxHops; i-- {
		hop, ok := parseNode(hops[i])
		if !ok { // unknown or hidden: who comes before cannot be told either
			break
		}
		c.IP = hop.String()
		if !p.trusts(hop) {
			break
		}
	}
	return r.WithContext(context.WithValue(r.Context(), clientKey{}, c))
}

// forwarded lists the clients that proxies name, the nearest last.
func forwarded(h http.Header) []string {
	var out []string
	if all := h.Values(headerForwarded); len(all) > 0 {
		for element := range strings.SplitSeq(strings.Join(all, ","), ",") {
			node := ""
			for pair := range strings.SplitSeq(element, ";") {
				if key, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && strings.EqualFold(key, "for") {
					node = strings.Trim(value, `"`)
				}
			}
			out = append(out, node)
		}
		return out
	}
	for _, header := range h.Values("X-Forwarded-For") {
		for node := range strings.SplitSeq(header, ",") {
			out = append(out, strings.TrimSpace(node))
		}
	}
	return out
}

// parseNode reads an address with or without a port.
func parseNode(text string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return ip.Unmap(), true
	}
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap(), true
	}
	return netip.Addr{}, false
}
