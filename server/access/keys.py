"""Named keys: API keys for back ends, sites and their secrets; read again whenever their file changes."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from secrets import compare_digest
from typing import NamedTuple, TypeVar

from gantcha.drawing.look import Difficulty
from pool.errors import SettingsError
from pool.filling.stocks import kept_stocks
from pool.keys_file import DEFAULT, RIGHTS, ApiKey, KeysFile, Right, Site, read_keys_file
from pool.models import Mode
from pool.settings import Key, Settings, Work
from server import metrics

log = logging.getLogger(__name__)
_CHECK_SECONDS = 1
Name = TypeVar("Name")


class Owner(NamedTuple):
    """The owner of a secret."""

    name: str
    is_site: bool
    """whether the secret redeems the tokens of the site of this name; if not, those of pages without a sitekey"""


class Keys:
    """All keys by name: those from the settings are named `default`."""

    def __init__(self, settings: Settings) -> None:
        """Read the keys. Raises SettingsError when the file can't be read or its content is invalid."""
        self.error: str | None = None
        self.for_tests = settings.testing
        """whether keys for tests are accepted"""
        self._path = settings.keys_file
        self._api_keys = {DEFAULT: ApiKey(key=settings.api_key, may=RIGHTS)} if settings.api_key else {}
        self._site_secret = settings.site_secret
        self._difficulties: set[Difficulty] = {stock.difficulty for stock in kept_stocks(settings).usual}
        self._version, self._check_at = _version(self._path) if self._path else None, 0.0
        self._take(read_keys_file(self._path))

    @property
    def guards_api(self) -> bool:
        """Whether there is any API key."""
        self._read_if_changed()
        return bool(self._api_keys or self._file.api_keys)

    def api_key(self, given: str) -> tuple[str, frozenset[Right]] | None:
        """Return the name of this API key and what it may do; None if it is unknown."""
        self._read_if_changed()
        keys = self._api_keys | self._file.api_keys
        return _owner(given, (((name, one.may), one.key) for name, one in keys.items()))

    def owner(self, secret: str) -> Owner | None:
        """Return whose secret this is; None if it is unknown."""
        self._read_if_changed()
        return _owner(secret, self._secrets)

    @property
    def names_sites(self) -> bool:
        """Whether there is any site; if not, pages may keep the sitekey of another product."""
        self._read_if_changed()
        return bool(self._sites)

    def site(self, sitekey: str) -> tuple[str, Site] | None:
        """Return the site with this sitekey and its name; None if it is unknown."""
        self._read_if_changed()
        return self._sites.get(sitekey)

    @property
    def sites(self) -> Mapping[str, Site]:
        """The sites by name."""
        self._read_if_changed()
        return self._file.sites

    def passes(self, name: str | None) -> frozenset[Mode]:
        """Return how tokens of the site of this name may be earned without a picture."""
        self._read_if_changed()
        site = self._file.sites.get(name or "")
        return site.passes if site else frozenset()

    @property
    def work_levels(self) -> set[Work]:
        """What sites ask of their visitors' browsers."""
        self._read_if_changed()
        return {site.work for _, site in self._sites.values() if site.work}

    def _take(self, file: KeysFile) -> None:
        self._file = file
        self._secrets = [(Owner(name, is_site=False), secret) for name, secret in file.site_secrets.items()]
        self._secrets += [
            (Owner(name, is_site=True), secret) for name, site in file.sites.items() for secret in site.secret
        ]
        if self._site_secret:
            self._secrets.append((Owner(DEFAULT, is_site=False), self._site_secret))
        self._sites = {site.sitekey: (name, site) for name, site in file.sites.items()}
        metrics.begin_sites(file.sites)

    def _read_if_changed(self) -> None:
        if not self._path or time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + _CHECK_SECONDS
        try:
            version = _version(self._path)
            if version == self._version:
                self.error = None  # the file was missing for a while
                return
            file = read_keys_file(self._path)
            self._check(self._path, file)
            changes = ", ".join(_changes(self._file, file)) or "nothing changed"
            self._take(file)
            self._version, self.error = version, None
            log.info("keys read again from %s: %s", self._path, changes)
        except SettingsError as error:  # a mistake in the file must not lock everyone out
            if str(error) != self.error:
                log.error("the keys stay as they were: %s", error)
            self.error = str(error)

    def _check(self, path: Path, file: KeysFile) -> None:
        """Raise a SettingsError for a change that needs a restart."""
        if self._file.api_keys and not (self._api_keys or file.api_keys):
            raise SettingsError(
                f"CAPTCHA_KEYS_FILE {path} has no API key any more: restart the server to run without one"
            )
        for name, site in file.sites.items():
            if site.difficulty and site.difficulty not in self._difficulties:
                raise SettingsError(
                    f"CAPTCHA_KEYS_FILE {path}, sites.{name}.difficulty: no {site.difficulty} captchas are kept since "
                    "the start: restart the server to have them drawn"
                )


def _changes(before: KeysFile, now: KeysFile) -> Iterator[str]:
    """Name what was added, removed or changed, without any secret."""
    for kind in KeysFile.model_fields:
        old, new = getattr(before, kind), getattr(now, kind)
        for name in sorted(old.keys() | new.keys()):
            if name not in old or name not in new:
                yield f"{kind}.{name} {'added' if name in new else 'removed'}"
            elif old[name] != new[name]:
                fields = getattr(type(new[name]), "model_fields", ())
                changed = [field for field in fields if getattr(old[name], field) != getattr(new[name], field)]
                yield f"{kind}.{name} changed" + (f" ({', '.join(changed)})" if changed else "")


def _owner(given: str, keys: Iterable[tuple[Name, Key]]) -> Name | None:
    # All keys are compared, so that the time taken reveals nothing.
    owners = [owner for owner, key in keys if compare_digest(given.encode(), key.get_secret_value().encode())]
    return owners[0] if owners else None


def _version(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()  # follows symbolic links: that is how secrets are mounted and replaced
    except OSError as error:
        raise SettingsError(f"CAPTCHA_KEYS_FILE {path} can't be read: {error.strerror}") from error
    return status.st_ino, status.st_mtime_ns, status.st_size
