"""Cuts a command off at any of its statements, at its commit or after it."""

import logging
from contextlib import suppress

from sqlalchemy import event

AT_COMMIT = 24


class KilledError(Exception):
    """The connection is gone, as after a kill."""


def interrupted(store, places, command, key, now, point):
    """Return the market as it is found after a command was cut off at a statement.

    The connection is dropped without a word, before statement ``point`` or before the commit; a
    command with fewer statements is done, and its answer is lost.
    """
    engine = store._database.engine
    seen = []

    def drop(connection):
        connection.connection.driver_connection.close()
        raise KilledError

    def at_statement(connection, *_):
        seen.append(point)
        if len(seen) == point + 1:
            drop(connection)

    def at_commit(connection):
        if point == AT_COMMIT:
            drop(connection)

    event.listen(engine, "before_cursor_execute", at_statement)
    event.listen(engine, "commit", at_commit)
    logging.disable(logging.ERROR)  # what closing a dropped connection again complains about
    with suppress(Exception):  # whatever a dropped connection ends in
        store.execute(command, key=key, now=now)
    logging.disable(logging.NOTSET)
    event.remove(engine, "before_cursor_execute", at_statement)
    event.remove(engine, "commit", at_commit)
    store.close()
    return places.open()
