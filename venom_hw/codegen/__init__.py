"""Renders a datapath through `templates/` to projects, and the stimuli that drive every rendering."""
