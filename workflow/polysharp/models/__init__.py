"""Pre-trained models as ordinary local folders, and the classifier around an encoder."""
