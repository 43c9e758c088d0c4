"""The page of the server: the program and no data, which the program asks for with the session's token."""

from __future__ import annotations

from surrogate3d.viewer.assets import PAGE_STYLES, SERVED, program, style


def policy(nonce: str) -> str:
    """The content security policy: nothing runs but the page's own scripts, nothing is asked of other machines."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; style-src-attr 'unsafe-inline'; "
        "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def page(nonce: str) -> str:
    """The page; `nonce` is that of its policy."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>surrogate3d view</title>
<link rel="icon" href="data:,">
<style nonce="{nonce}">{style(PAGE_STYLES)}</style>
</head>
<body class="s3d-page">
<main>
<h1 data-s3d-title>surrogate3d view</h1>
<p role="status" data-s3d-status>Reading the scene.</p>
<div data-s3d-recompute></div>
<div class="s3d" data-s3d-root></div>
</main>
<script nonce="{nonce}">{program(SERVED)}</script>
<script nonce="{nonce}">S3D.serve(document);</script>
</body>
</html>
"""
