"""The fill command: a package, since processes that it starts would otherwise import the command again."""
