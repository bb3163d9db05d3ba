"""Files and folders on two kinds of place, under the same verbs."""
