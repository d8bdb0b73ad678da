agent { name = "a" }
