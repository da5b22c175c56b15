"""The lead score: what is asked of the chat model, and what of its answer is believed. Pure, no I/O."""
