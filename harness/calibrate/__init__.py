"""How far a metric that needs no truth can be trusted: how well it ranks variants beside an exact one."""
