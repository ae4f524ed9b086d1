"""What the sources of coding agents share: spans that grow while a session is written, and folders searched in depth.

A format is a package beside this one with a `detect` function and a `SourceFile`; `sources.formats` registers it.
"""
