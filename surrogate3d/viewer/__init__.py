"""The viewer: scenes as plain data, pages that embed them, and a server of the loopback address."""
