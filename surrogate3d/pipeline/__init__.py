"""The whole path: convert, sample, simulate, train, predict, validate, report. The only room that knows all others."""
