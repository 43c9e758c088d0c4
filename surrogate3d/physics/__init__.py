"""Published physics and radiobiology as pure broadcasting functions: from tracks in water to cell survival."""
