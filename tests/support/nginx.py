"""A real nginx that keeps all its files in a folder."""

from pathlib import Path

_SETTINGS = """
daemon off; user root; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {http}
}}
"""


def write_settings(folder: Path, http: str) -> Path:
    """Write nginx.conf, with `http` in its block of that name; return its path."""
    settings = folder / "nginx.conf"
    settings.write_text(_SETTINGS.format(folder=folder, http=http))
    return settings
