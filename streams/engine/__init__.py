"""The only place that knows Faust and aiokafka. (Map follows.)"""
