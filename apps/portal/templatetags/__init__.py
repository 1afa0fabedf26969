"""What the portal's templates are written with."""
