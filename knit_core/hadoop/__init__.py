"""The wire: clients of the ResourceManager, WebHDFS and the ApplicationMaster over HTTP."""
