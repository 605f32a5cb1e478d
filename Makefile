# to be completed
