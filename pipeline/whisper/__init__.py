"""A Whisper of our own, in a process of its own: the only home of faster-whisper and CTranslate2."""
