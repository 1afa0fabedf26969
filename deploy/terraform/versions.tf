terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.14"
    }
  }

  # Where the state lies is told at init: terraform init -backend-config=backend.hcl. It holds passwords, so it is kept as
  # they are: backend.hcl.example.
  backend "s3" {}
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      application = "weir"
      environment = var.environment
    }
  }
}
