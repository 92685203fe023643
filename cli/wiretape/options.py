"""Options that mean the same in every command."""

import click


def recording_name(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """Refuse a name that is empty, for the `callback` of an option that names a recording."""
    if name is not None and not name.strip():
        raise click.BadParameter("a recording needs a name: write one, or leave the option out")
    return name


store_option = click.option(
    "--store",
    envvar="WIRETAPE_STORE",
    default="wiretape.db",
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="The store: a path or a database URL.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")

ready_file_option = click.option(
    "--ready-file",
    "ready_path",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write where everything listens to FILE (JSON) once it does; removed at the end.",
)

keep_wire_option = click.option(
    "--keep-wire",
    type=click.Choice(["needed", "never"]),
    default="needed",
    show_default=True,
    help="Where packing a message anew does not give its exact bytes: keep them too, or give them up.",
)
