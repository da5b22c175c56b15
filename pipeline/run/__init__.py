"""Running jobs: claim a step, run it, write down what came of it; notify, look after.

`operate` is for whoever mends jobs; only `runner` brings FFmpeg into the process.
"""
