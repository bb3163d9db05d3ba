"""Files and folders, local or in a store, under the same verbs."""
