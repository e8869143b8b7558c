"""PNGs in an S3-compatible object store, for pools of several machines: `<prefix>/<id[:2]>/<id>.png`."""

import os
import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from gantcha.errors import StorageError
from pool.storage.files import ID, check_owner, key, missing, new_id

if TYPE_CHECKING:
    from obstore import Attributes, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

_AT_ONCE = 32  # uploads
# HTTP is for an endpoint without TLS.
_OPTIONS: "ClientConfig" = {"timeout": "20s", "connect_timeout": "5s", "allow_http": True}
_RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_ATTRIBUTES: "Attributes" = {"Content-Type": "image/png", "Cache-Control": "no-store"}


_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_CREDENTIALS = re.compile(
    r"169\.254\.|/latest/(api|meta-data)|credential", re.IGNORECASE
)  # without any, it asks the cloud's machine for some


class ObjectStore:
    """A bucket of PNGs, or a prefix of one. Credentials, region and endpoint come from the usual AWS_ variables.

    An object without a row is an orphan once it is older than any chunk takes to be committed. Its methods raise
    StorageError when the store refuses or does not answer.
    """

    def __init__(self, url: str) -> None:
        """Connect to `s3://bucket/prefix`. Raises StorageError when the AWS_ variables are invalid."""
        self.url = url
        self._store = connect(url)
        self._uploads = ThreadPoolExecutor(_AT_ONCE)

    def belong_to(self, pool_id: str, *, claim: bool) -> None:
        """Check that the prefix belongs to this pool; with `claim`, claim it if it belongs to none.

        Raises:
            StorageError: it can't be written, or belongs to another pool, whose files a sweep would treat as orphans;
                or to none.
        """
        with self._storage_errors(".pool"):
            if not (owner := self._owner()) and claim:
                self._claim(pool_id)
                owner = self._owner()
        check_owner(owner, pool_id, self.url, "CAPTCHA_FILES_URL")

    def _owner(self) -> str:
        with suppress(FileNotFoundError):
            return self._get(".pool").decode()
        return ""

    def _claim(self, pool_id: str) -> None:
        try:
            obstore.put(self._store, ".pool", pool_id.encode(), mode="create")
        except AlreadyExistsError:
            pass
        except BaseError as error:
            if not re.search("501|NotImplemented|not supported", str(error)):
                raise
            obstore.put(self._store, ".pool", pool_id.encode())  # this store has no conditional writes

    def write_all(self, named: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """Upload PNGs, many at a time; yield the id of each finished upload."""
        yield from self._uploads.map(self._put, named)

    def _put(self, named: tuple[str, bytes]) -> str:
        file_id, content = named
        with self._storage_errors(key(file_id)):
            obstore.put(self._store, key(file_id), content, attributes=_ATTRIBUTES)
        return file_id

    def read(self, file_id: str) -> bytes:
        """Fetch a PNG. Raises FileNotFoundError where there is none."""
        with self._storage_errors(key(file_id)):
            return self._get(key(file_id))

    def missing(self, file_id: str) -> StorageError:
        """Return the error for a captcha whose picture is gone."""
        return missing(file_id, self.url)

    def read_now(self, _file_id: str) -> None:
        """Return nothing: a bucket is another machine."""

    def signed_url(self, file_id: str, lifetime: timedelta) -> str:
        """Return a URL that serves the PNG for this long, without checking that it exists."""
        with self._storage_errors(key(file_id)):
            url: str = obstore.sign(self._store, "GET", key(file_id), lifetime)
        return url

    def probe(self) -> None:
        """Try to write."""
        name = f".probe-{new_id()}"
        with self._storage_errors(name):
            obstore.put(self._store, name, b"probe")
            obstore.delete(self._store, name)

    def sync(self) -> None:
        """Do nothing: an object is durable once it is written."""

    def names(self, prefix: str) -> list[str]:
        """Return the names of objects whose ids begin with one of the `PREFIXES`."""
        return [entry["path"].rpartition("/")[2] for entry in self._list(f"{prefix}/")]

    def usage(self) -> tuple[int, int]:
        """Count objects and bytes."""
        sizes = [entry["size"] for entry in self._list("") if not entry["path"].startswith(".")]
        return len(sizes), sum(sizes)

    def remove(self, file_ids: Iterable[str]) -> None:
        """Delete the PNGs of rows that are gone; a missing object is not an error."""
        if keys := [key(file_id) for file_id in file_ids]:
            with self._storage_errors(self.url):
                obstore.delete(self._store, keys)

    def remove_orphans(self, prefix: str, live_ids: AbstractSet[str], age: timedelta) -> int:
        """Delete our objects under `prefix` that are older than `age` and not in `live_ids`; other names stay."""
        before = datetime.now(UTC) - age
        orphans = []
        for entry in self._list(f"{prefix}/"):
            stem, _, suffix = entry["path"].rpartition("/")[2].partition(".")
            if ID.fullmatch(stem) and suffix == "png" and stem not in live_ids and entry["last_modified"] < before:
                orphans.append(stem)
        self.remove(orphans)
        return len(orphans)

    def _get(self, name: str) -> bytes:
        return bytes(obstore.get(self._store, name).bytes())

    def _list(self, prefix: str) -> Iterator["ObjectMeta"]:
        with self._storage_errors(prefix):
            for page in obstore.list(self._store, prefix):
                yield from page

    def _storage_errors(self, name: str) -> AbstractContextManager[None]:
        return bucket_errors(self.url, name)


def connect(url: str) -> S3Store:
    """Connect to `s3://bucket/prefix`. Raises StorageError when the AWS_ variables are invalid."""
    for name in _ENDPOINTS:
        if not re.match("https?://.", os.environ.get(name, "http://host")):
            raise StorageError(f"{name} must begin with http:// or https://")
    with bucket_errors(url, url):
        return S3Store.from_url(url, client_options=_OPTIONS, retry_config=_RETRIES)


@contextmanager
def bucket_errors(url: str, name: str) -> Iterator[None]:
    """Raise errors of the store in one line; a missing object stays a FileNotFoundError."""
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        if "NoSuchBucket" in str(error):
            raise StorageError(f"{url}: there is no such bucket; create it, or correct the URL") from error
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(name) from error
        reason = str(error).splitlines()[0]
        cure = ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if _CREDENTIALS.search(reason) else ""
        raise StorageError(f"{url} does not work for {name}: {reason}{cure}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what the store's library makes of a setting it did not expect
            raise
        raise StorageError(f"{url} does not work for {name}: {error}: check the AWS_ variables") from error
