"""Running jobs: claim a step, bind facts to its stage, write down what came of it.

`tools` and `operate` are for whoever opens or mends jobs; only `runner` brings FFmpeg into the process.
"""
