"""The parts of the browser-flow skill: what a step may say, how it is done, what is kept as evidence."""
