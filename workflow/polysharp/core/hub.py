"""Downloads from the Hugging Face hub: checksums, retries, and messages when they fail.

No other module of polysharp uses the network. huggingface_hub finds the token, if any, in the
environment or in its own file; polysharp neither reads nor logs it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from polysharp.core.errors import UserError, first_line

log = logging.getLogger("polysharp")

ATTEMPTS = 4
FIRST_WAIT_SECONDS = 1.0  # doubled after every attempt
TIMEOUT_SECONDS = 10
PASSING = (408, 429)  # HTTP statuses that are retried: timeout, too many requests
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Repository:
    """A model or a data set on the hub, at a branch, tag or commit; None is the default branch."""

    name: str
    revision: str | None = None
    kind: str = "model"  # or "dataset", as the hub says

    @property
    def title(self) -> str:
        """The name in messages."""
        return f"{'data set' if self.kind == 'dataset' else self.kind} {self.name}"


@dataclass(frozen=True)
class Snapshot:
    """Files of a repository at one commit, in the hub's own cache."""

    folder: Path

    @property
    def commit(self) -> str:
        """The commit of the files: the cache uses it as the name of the folder."""
        return self.folder.name


def download(
    repository: Repository, choices: Sequence[Sequence[str]], enough: Callable[[Path], bool] = lambda _: True
) -> Snapshot:
    """Return files of a repository; those that are not in the hub's cache are downloaded.

    After dropped connections and server errors, downloads are retried a few times. Every file is
    compared with the hub's checksum; if it differs, the file is downloaded again, and refused if it
    still differs after several attempts. If the hub does not answer at all, the files that are in the
    cache are used.

    Parameters
    ----------
    choices
        Patterns of files: the first patterns whose files are `enough` are used.

    Raises
    ------
    UserError
        One line that says what to do.
    """
    with _explained(repository):
        online = _answers(repository)
        for patterns in choices:
            folder = _fetched(repository, repository.revision, patterns, online)
            if enough(folder):
                break
        snapshot = Snapshot(folder)
        if not online:
            log.warning("%s: the hub cannot be reached; using the files in its cache", repository.title)
            return snapshot
        _verify(repository, snapshot, [pattern for patterns in choices for pattern in patterns])
    return snapshot


def suggest_revision(repository: Repository, snapshot: Snapshot) -> None:
    """Log the exact revision to configure, if the configured one may change."""
    if repository.revision != snapshot.commit:
        named = repository.revision or "the newest revision"
        text = "%s: %s may change; for reproducible results, set the revision to %s"
        log.warning(text, repository.title, named, snapshot.commit)


def sizes(repository: Repository) -> dict[str, int]:
    """Return the files of a repository and their sizes in bytes; nothing if the hub does not answer.

    Raises
    ------
    UserError
        When the repository does not exist or access is denied.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with _explained(repository):
        if not _answers(repository):
            return {}
        tree = _persistently(
            lambda: list(
                HfApi().list_repo_tree(
                    repository.name, recursive=True, revision=repository.revision, repo_type=repository.kind
                )
            ),
            repository,
        )
    return {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)}


@cache
def _answers(repository: Repository) -> bool:
    """Return whether the hub answers; raise its error if it does not have the repository.

    Cached, because waiting for a hub that does not answer takes long.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    try:
        _persistently(
            lambda: HfApi().repo_info(
                repository.name,
                repo_type=repository.kind,
                revision=repository.revision,
                timeout=TIMEOUT_SECONDS,
            ),
            repository,
        )
    except OfflineModeIsEnabled:
        return False
    except HTTPError as error:
        if not _may_pass(error):
            raise
        return False
    return True


def _fetched(
    repository: Repository, revision: str | None, patterns: Sequence[str], online: bool = True
) -> Path:
    """Return the folder of a repository's snapshot in the cache, with the matching files."""
    from huggingface_hub import snapshot_download

    if online:
        log.info("downloading %s from the hub", repository.title)

    def fetch() -> Path:
        folder = snapshot_download(
            repository.name,
            repo_type=repository.kind,
            revision=revision,
            allow_patterns=list(patterns),
            local_files_only=not online,
        )
        return Path(folder)

    return _persistently(fetch, repository) if online else fetch()


def _persistently(ask: Callable[[], Answer], repository: Repository) -> Answer:
    """Return the result of a request to the hub; dropped connections and server errors are retried."""
    from huggingface_hub.errors import HTTPError

    for attempt in range(1, ATTEMPTS):
        try:
            return ask()
        except (HTTPError, OSError) as error:
            if not _may_pass(error):
                raise
            wait = FIRST_WAIT_SECONDS * 2 ** (attempt - 1)
            log.warning(
                "%s: the hub did not answer (%s); retrying in %.0f s",
                repository.title,
                first_line(error),
                wait,
            )
            time.sleep(wait)
    return ask()


def _may_pass(error: Exception) -> bool:
    """Return whether a retry may help: not after a refusal by the hub, nor if the disk is full."""
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code in PASSING or error.response.status_code >= 500
    if isinstance(error, errors.OfflineModeIsEnabled):
        return False
    incomplete = isinstance(error, OSError) and error.errno is None  # fewer bytes than were announced
    return isinstance(error, errors.HTTPError | errors.LocalEntryNotFoundError) or incomplete


def _verify(repository: Repository, snapshot: Snapshot, patterns: Sequence[str]) -> None:
    """Compare the files of a snapshot with the hub's checksums; download again those that differ."""
    from huggingface_hub import HfApi

    def compare() -> list[str]:
        verification = HfApi().verify_repo_checksums(
            repository.name, repo_type=repository.kind, revision=snapshot.commit
        )
        return [mismatch["path"] for mismatch in verification.mismatches]

    for _ in range(ATTEMPTS - 1):
        damaged = _persistently(compare, repository)
        if not damaged:
            return
        log.warning("%s: checksum mismatch in %s; downloading again", repository.title, ", ".join(damaged))
        for file in damaged:
            (snapshot.folder / file).resolve().unlink(missing_ok=True)
            (snapshot.folder / file).unlink(missing_ok=True)
        _fetched(repository, snapshot.commit, patterns)
    if damaged := _persistently(compare, repository):
        raise UserError(
            f"{repository.title}: {', '.join(damaged)}: checksum mismatch, {ATTEMPTS} times in a row;"
            " something between this machine and the hub changes the files: ask your network administrator"
        )


@contextmanager
def _explained(repository: Repository) -> Iterator[None]:
    """Turn errors of huggingface_hub into one line that says what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError:
        hint = "; did you mean 'package:...'?" if ":" in repository.name else ""
        raise UserError(
            f"{repository.title}: neither a package (package:...), nor an existing folder, nor a hub id "
            f"(org/name){hint}"
        ) from None
    except errors.GatedRepoError:
        raise UserError(
            f"{repository.title}: access is restricted; request it on its page, then set HF_TOKEN to your"
            " token"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{repository.title}: no revision {repository.revision!r};"
            " look up a branch, tag or commit on its page"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{repository.title}: neither on the hub nor a local folder;"
            " check the name, or set HF_TOKEN if it is private"
        ) from None
    except errors.LocalEntryNotFoundError:
        raise UserError(
            f"{repository.title}: the hub cannot be reached, and it is not in the cache; prepare it where"
            " there is a network (a login node) with the same HF_HOME, set HF_ENDPOINT to a mirror,"
            " or use a local folder"
        ) from None
    except (errors.HTTPError, OSError) as error:
        raise UserError(
            f"{repository.title}: the download failed ({first_line(error)}); try again, or use a local folder"
        ) from None
