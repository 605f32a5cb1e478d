"""Pre-trained models as local folders, and the classifier around an encoder."""
