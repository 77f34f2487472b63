"""`recsys releases`: lists, shows, compares, promotes, signs and rolls back releases."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.bundle import releases, signing
from recsys.bundle.bundle import MANIFEST, SIGNATURE, read_manifest
from recsys.bundle.shared import local_copy, shared
from recsys.drift import promotion
from recsys.errors import reports_errors
from recsys.schemas.store_schema import DEFAULT_URL, URL_VARIABLE

app = typer.Typer(help="Releases: list, show, promote, roll back.", no_args_is_help=True)

PublicKey = Annotated[
    str | None, typer.Option(envvar="RECSYS_PUBLIC_KEY", help="accept only bundles signed with its private key")
]
Releases = Annotated[Path, typer.Option("--releases", envvar="RECSYS_RELEASES", help="folder of the releases")]
Store = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="url of the store of the API")]
Why = Annotated[str, typer.Option(help="reason, to be recorded with the change")]


@app.command("list")
@reports_errors
def list_releases(folder: Releases = Path("releases")) -> None:
    """Print all promotions and rollbacks, newest last; * marks the current release."""
    state = releases.read(folder)
    for entry in state.log:
        mark = "*" if entry is state.log[-1] else " "
        print(
            f"{mark} {entry.at:%Y-%m-%d %H:%M:%S} UTC  {entry.action:<8}  {entry.bundle_id}  {entry.why or ''}".rstrip()
        )
    if not state.log:
        print("no releases yet; run `recsys releases promote bundle`")


@app.command("current")
@reports_errors
def current(folder: Releases = Path("releases")) -> None:
    """Print id, data set, end of the training data and folder of the current release."""
    path = releases.current(folder)
    manifest = read_manifest(path)
    print(
        f"{manifest.bundle_id}  {manifest.dataset}  trained until {manifest.trained_until:%Y-%m-%d %H:%M} UTC  {path}"
    )


@app.command("promote")
@reports_errors
def promote(
    bundle: Annotated[str, typer.Argument(help="a bundle folder, or an address such as s3://bucket/bundle")] = "bundle",
    folder: Releases = Path("releases"),
    public_key: PublicKey = None,
    canary: Annotated[str, typer.Option(help="share of users to serve first, such as 1%")] = "",
    store: Store = DEFAULT_URL,
    notes: Annotated[str, typer.Option(help="what changed, for the record of the release")] = "",
) -> None:
    """Verify a bundle, test it in a separate process, copy it to the releases and make it current.

    With --canary it is first compared with the current release on recorded requests and serves only that share; then
    `recsys watch` multiplies the share by ten, step by step, or ends the canary.
    """
    key = public_key or None
    with shared(folder, store, notes, key), local_copy(bundle, key) as source:
        print(promotion.promote(source, folder, key, promotion.share_of(canary), store, notes))


@app.command("abort")
@reports_errors
def abort(folder: Releases = Path("releases"), store: Store = DEFAULT_URL, why: Why = "") -> None:
    """End the canary: the current release serves everybody."""
    with shared(folder, store, why):
        print(f"ended: {releases.abort(folder, why) or 'there is no canary'}")


@app.command("diff")
@reports_errors
def diff(first: str, second: str, folder: Releases = Path("releases")) -> None:
    """Print the differences of two releases, given by bundle id: settings, data, metrics, lists for up to 200 users."""
    print("\n".join(promotion.lines(folder, first, second)))


@app.command("rollback")
@reports_errors
def rollback(
    folder: Releases = Path("releases"), public_key: PublicKey = None, store: Store = DEFAULT_URL, why: Why = ""
) -> None:
    """Make the release before the current one current again."""
    with shared(folder, store, why, public_key or None):
        print(f"current release: {releases.rollback(folder, public_key or None, why)}")


@app.command("keygen")
@reports_errors
def keygen(key: Annotated[Path, typer.Argument(help="file to write the private key to")] = Path("signing.pem")) -> None:
    """Write a private key for signing bundles, and print its public key."""
    public = signing.keygen(key)
    print(f"private key: {key}; keep it away from the servers, which need:\nRECSYS_PUBLIC_KEY={public}")


@app.command("sign")
@reports_errors
def sign(
    bundle: Annotated[Path, typer.Argument(help="a bundle folder")] = Path("bundle"),
    key: Annotated[Path, typer.Option(help="the private key, from `recsys releases keygen`")] = Path("signing.pem"),
) -> None:
    """Sign a bundle, so that servers with the public key accept it."""
    public = signing.sign(bundle / MANIFEST, bundle / SIGNATURE, key)
    print(f"{bundle / SIGNATURE}: signed; servers need RECSYS_PUBLIC_KEY={public}")
