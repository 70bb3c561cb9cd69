"""Who answers for a job."""
