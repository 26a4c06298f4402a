"""The JSON API: the pages' twin for programs, by bearer token. One file per resource."""
