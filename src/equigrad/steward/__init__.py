"""What a data steward does alone, on own records: private training, audits, and their folder."""
