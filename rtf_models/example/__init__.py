"""The worked example: real light curves of the Bright Transient Survey from file to tables (`rtf_models example`)."""
