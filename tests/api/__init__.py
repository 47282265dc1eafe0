"""The Lambda API as the real boto3 and AWS CLI see it."""
